// Input and output on one transport, with Web Audio that is simulated.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

let clock, started, stopped;
class Node {
  constructor(context, options = {}) {
    Object.assign(this, options);
    this.gain = { value: options.gain, setTargetAtTime: (value) => (this.gain.value = value) };
  }
  connect(node) {
    this.to = node;
  }
  disconnect() {
    this.to = null;
  }
}
globalThis.AudioContext = class {
  destination = {};
  get currentTime() {
    return clock;
  }
  resume() {}
};
globalThis.GainNode = Node;
globalThis.AudioBuffer = class {
  constructor(options) {
    Object.assign(this, options, { rows: [] });
  }
  copyToChannel(row, c) {
    this.rows[c] = row;
  }
};
globalThis.AudioBufferSourceNode = class extends Node {
  start(when, offset) {
    started.push({ source: this, when, offset });
  }
  stop() {
    stopped.push(this);
  }
};
const { Player } = await import("../../export/web/page/player.mjs");

const RATE = 100, dry = [new Float32Array(500)], target = [new Float32Array(500).fill(1)];
let player, ends;
beforeEach(() => {
  [clock, started, stopped, ends] = [10, [], [], 0];
  player = new Player(() => ++ends);
});

test("both start at the same moment and place, and the gains say what is heard", () => {
  player.load({ target, dry }, RATE, false);
  player.mix([0.5, 0.25]);
  player.seek(2);
  player.play();
  assert.equal(started.length, 2);
  assert.equal(started[0].when, started[1].when);
  assert.deepEqual(started.map((s) => s.offset), [2, 2]);
  assert.deepEqual(started.map((s) => s.source.buffer.rows[0]), [target[0], dry[0]]);
  assert.deepEqual(started.map((s) => s.source.to.gain.value), [0.5, 0.25]);
  player.mix([0, 1]);
  assert.deepEqual(started.map((s) => s.source.to.gain.value), [0, 1]);
  assert.equal(started.length, 2);
});

test("pause keeps the place, seeking plays on from there", () => {
  player.load({ target, dry }, RATE, false);
  player.play();
  clock = started[0].when + 1.5;
  player.pause();
  assert.equal(player.position, 1.5);
  assert.equal(stopped.length, 2);
  player.play();
  player.seek(4);
  assert.ok(player.playing);
  assert.equal(started.at(-1).offset, 4);
  player.seek(99);
  assert.equal(player.position, 5);
});

test("a new target goes on where the old one was", () => {
  player.load({ target: null, dry }, RATE, false);
  player.play();
  assert.equal(started.length, 1);
  clock = started[0].when + 2;
  player.load({ target, dry }, RATE, true);
  assert.ok(player.playing);
  assert.deepEqual(started.slice(1).map((s) => s.offset), [2, 2]);
  player.load({ target, dry }, RATE, false);
  assert.ok(!player.playing);
  assert.equal(player.position, 0);
});

test("at the end it stops, once, and begins again", () => {
  player.load({ target, dry }, RATE, false);
  player.play();
  const { source } = started[0];
  source.onended();
  started[1].source.onended();
  assert.equal(ends, 1);
  assert.equal(player.position, 5);
  player.play();
  assert.equal(started.at(-1).offset, 0);
  source.onended(); // of a source that is gone
  assert.ok(player.playing);
});
