// The result: transport, input and output to compare, spectrograms, downloads.

import { coefficients, mixed, ratioDb } from "./mixer.mjs";
import { clock, outputName } from "./names.mjs";
import { Player } from "./player.mjs";
import { PRESENCE_THRESHOLD } from "./presence.mjs";
import { draw, placeOf, shareAt } from "./spectrogram.mjs";
import { levelWords, presenceWords } from "./status.mjs";
import { wav } from "./wav.mjs";

const REDRAW_MS = 120; // after the last change of strength or size

export function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export class Results {
  // $: finds an element by its id
  constructor($) {
    this.$ = $;
    this.player = new Player(() => this.follow());
    this.settings = { output: "target", wet: 1 };
    $("play").addEventListener("click", () => this.toggle());
    $("seek").addEventListener("input", () => this.seek(Number($("seek").value)));
    for (const radio of document.querySelectorAll("input[name=heard]")) radio.addEventListener("change", () => this.listen());
    for (const id of ["before", "after"])
      $(id).addEventListener("click", ({ offsetX }) => this.seek(shareAt($(id), offsetX) * this.player.duration));
    $("save-after").addEventListener("click", () => this.download());
    $("save-before").addEventListener("click", () => save(wav(this.input, this.rate), outputName(this.name, "", "bypass")));
    new ResizeObserver(() => this.redraw(true)).observe($("before"));
  }

  // A new sound, without a target yet; rows of samples.
  open(name, input, rate) {
    Object.assign(this, { name, input, rate, target: null });
    this.$("results").hidden = false;
    this.$("results-title").textContent = name;
    this.player.load({ target: null, dry: input }, rate, false);
    this.update(true);
  }

  // The target of a query is being made: what was there is over.
  wait() {
    if (!this.input) return;
    this.target = null;
    this.player.load({ target: null, dry: this.input }, this.rate, true);
    this.update(false);
  }

  // presences: { words: 0..1 }; sounds: the query in words, for the file's name
  show(target, presences, sounds) {
    Object.assign(this, { target, presences, sounds });
    this.player.load({ target, dry: this.input }, this.rate, true);
    this.update(false);
  }

  close() {
    this.player.pause();
    this.input = this.target = null;
    this.$("results").hidden = true;
  }

  // { output, wet, limitDb }
  set(settings) {
    this.settings = settings;
    if (this.input) this.update(false);
  }

  update(inputToo) {
    const { $ } = this;
    for (const element of [$("save-after"), document.querySelector("input[name=heard][value=output]")]) element.disabled = !this.target;
    $("saved-as").textContent = this.target ? `as ${this.outputName()}, 32-bit float` : "The output is not there yet.";
    this.listen();
    this.follow();
    this.redraw(inputToo);
  }

  outputName() {
    return outputName(this.name, this.sounds, this.settings.output);
  }

  listen() {
    const heard = document.querySelector("input[name=heard]:checked").value;
    this.player.mix(this.target && heard === "output" ? coefficients(this.settings) : [0, 1]);
  }

  toggle() {
    if (this.player.playing) this.player.pause();
    else this.player.play();
    this.follow();
  }

  seek(seconds) {
    this.player.seek(seconds);
    this.follow();
  }

  // The transport shows where the player is, as long as it plays.
  follow() {
    const { $, player } = this, { position, duration } = player;
    $("play").textContent = player.playing ? "Pause" : "Play";
    Object.assign($("seek"), { max: duration, value: position, ariaValueText: clock(position) });
    $("clock").textContent = `${clock(position)} / ${clock(duration)}`;
    for (const head of document.querySelectorAll(".playhead")) head.style.left = `${placeOf($("before"), duration ? position / duration : 0)}%`;
    cancelAnimationFrame(this.frame);
    if (player.playing) this.frame = requestAnimationFrame(() => this.follow());
  }

  output() {
    return mixed(this.target, this.input, coefficients(this.settings));
  }

  redraw(inputToo) {
    this.inputToo ||= inputToo;
    clearTimeout(this.later);
    this.later = setTimeout(() => {
      if (!this.input) return;
      if (this.inputToo) draw(this.$("before"), this.input[0], this.rate);
      this.inputToo = false;
      const { output: mode } = this.settings, output = this.target ? this.output() : this.input.map((row) => new Float32Array(row.length));
      draw(this.$("after"), output[0], this.rate);
      this.$("facts").textContent = this.target
        ? `${presenceWords(this.presences, PRESENCE_THRESHOLD, mode)}.\n${levelWords(ratioDb(output, this.input), mode)}.`
        : "";
      this.follow();
    }, REDRAW_MS);
  }

  download() {
    save(wav(this.output(), this.rate), this.outputName());
  }
}
