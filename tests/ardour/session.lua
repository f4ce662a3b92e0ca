-- Two stereo tracks with the same recording, the second through marssep: driven by run.py, a command a line on stdin, an answer a line on stdout.
--   ardour7-lua session.lua, with SESSION_FOLDER, PLUGIN_URI and SAMPLE_RATE in the environment

local NOW = ARDOUR.TransportRequestSource.TRS_UI
local GROUP = PBD.GroupControlDisposition.NoGroup

local function say(...)
  print(...)
  io.flush()
end

AudioEngine:set_backend("JACK", "ardour", ""):set_device_name("default")
local session = create_session(os.getenv("SESSION_FOLDER"), "session", tonumber(os.getenv("SAMPLE_RATE")))
assert(session, "no session")
local tracks, plugin = {}, nil
for _, name in ipairs({"dry", "separated"}) do
  local made = session:new_audio_track(2, 2, nil, 1, name, ARDOUR.PresentationInfo.max_order, ARDOUR.TrackMode.Normal, true)
  tracks[#tracks + 1] = made:front():to_track()
end

local commands = {}

function commands.record(seconds)
  for _, track in ipairs(tracks) do
    track:rec_enable_control():set_value(1, GROUP)
  end
  ARDOUR.LuaAPI.usleep(300000)
  session:maybe_enable_record(false)
  session:request_roll(NOW)
  ARDOUR.LuaAPI.usleep(seconds * 1e6)
  commands.stop()
  session:disable_record(true, false)
  for _, track in ipairs(tracks) do
    track:rec_enable_control():set_value(0, GROUP)
  end
  ARDOUR.LuaAPI.usleep(1000000) -- the butler writes
  local regions = 0
  for _, track in ipairs(tracks) do
    regions = regions + track:playlist():n_regions()
  end
  return "regions " .. regions
end

function commands.insert()
  plugin = ARDOUR.LuaAPI.new_plugin(session, os.getenv("PLUGIN_URI"), ARDOUR.PluginType.LV2, "")
  assert(not plugin:isnil(), "Ardour does not find the plug-in")
  assert(tracks[2]:add_processor_by_index(plugin, 0, nil, true) == 0, "Ardour does not take the plug-in")
  ARDOUR.LuaAPI.usleep(1000000)
  return "latency " .. plugin:to_insert():signal_latency()
end

-- 0 target, 2 bypass
function commands.output(value)
  local inside = plugin:to_insert():plugin(0)
  local n, port, known = -1, 0, true
  repeat
    n = n + 1
    port, known = inside:nth_parameter(n, false)
  until not known or inside:parameter_label(port) == "Output"
  assert(known and ARDOUR.LuaAPI.set_processor_param(plugin, n, value), "the plug-in has no parameter Output")
  return "output " .. value
end

function commands.play(seconds)
  session:request_locate(0, false, ARDOUR.LocateTransportDisposition.MustStop, NOW)
  ARDOUR.LuaAPI.usleep(1000000)
  session:request_roll(NOW)
  ARDOUR.LuaAPI.usleep(seconds * 1e6)
  commands.stop()
  return "played"
end

function commands.stop()
  session:request_stop(false, false, NOW)
  ARDOUR.LuaAPI.usleep(500000)
  return "stopped"
end

say("ready")
for line in io.lines() do
  local name, value = line:match("^(%a+) ?(%S*)$")
  if name == "quit" then
    break
  end
  local good, answer = pcall(commands[name], tonumber(value))
  say((good and "ok " or "failed ") .. tostring(answer))
end
close_session()
quit()
