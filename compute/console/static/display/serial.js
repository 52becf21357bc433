// The serial line of a guest, in a window of its own: what it says, and what is typed to it.

import { h, swap } from "../lib/dom.js";
import { Terminal } from "./terminal.js";

const KEYS = {
  Enter: "\r", Backspace: "\x7f", Tab: "\t", Escape: "\x1b", Delete: "\x1b[3~", Home: "\x1b[H", End: "\x1b[F",
  ArrowUp: "\x1b[A", ArrowDown: "\x1b[B", ArrowRight: "\x1b[C", ArrowLeft: "\x1b[D", PageUp: "\x1b[5~", PageDown: "\x1b[6~",
};

const screen = h("pre", { class: "terminal", "aria-label": "What the guest says", "aria-live": "off" });
const keyboard = h("textarea", { class: "keyboard", "aria-label": "Type to the guest", autocapitalize: "off", autocomplete: "off", autocorrect: "off", spellcheck: "false", rows: "1" });
const state = h("p", { class: "display-state", role: "status" }, "Connecting …");
swap(document.getElementById("app"), h("header", { class: "display-head" }, h("h1", {}, "Serial line"), state), h("div", { class: "terminal-frame", onclick: () => keyboard.focus() }, screen, keyboard));

const address = new URL("/api/line", location.href);
address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
address.search = location.search;
const socket = new WebSocket(address);
socket.binaryType = "arraybuffer";
const send = (text) => { if (socket.readyState === WebSocket.OPEN) socket.send(text); };
const terminal = new Terminal(send);
const decoder = new TextDecoder();
let drawing = false;

function draw() {
  drawing = false;
  const follows = screen.scrollTop + screen.clientHeight >= screen.scrollHeight - 40;
  const line = (terminal.rows[terminal.row] ?? "").padEnd(terminal.column + 1);
  const above = terminal.rows.slice(0, terminal.row).join("\n");
  const below = terminal.rows.slice(terminal.row + 1).join("\n");
  swap(screen, above && `${above}\n`, line.slice(0, terminal.column), h("span", { class: "cursor" }, line[terminal.column]), line.slice(terminal.column + 1), below && `\n${below}`);
  if (follows) screen.scrollTop = screen.scrollHeight;
}

socket.onopen = () => { state.textContent = "Connected. Press Enter if nothing is to be seen."; keyboard.focus(); };
socket.onmessage = ({ data }) => {
  terminal.write(decoder.decode(data, { stream: true }));
  if (!drawing) { drawing = true; requestAnimationFrame(draw); }
};
socket.onclose = () => { state.textContent = "The line has ended: the guest is off, somebody else has opened it, or the link is too old. Ask for another one."; };

keyboard.addEventListener("keydown", (event) => {
  if (event.isComposing || event.metaKey) return;
  const letter = event.ctrlKey && !event.altKey && /^[a-z@[\\\]^_]$/i.test(event.key) ? String.fromCharCode(event.key.toUpperCase().charCodeAt(0) & 0x1f) : KEYS[event.key];
  if (letter === undefined || (event.ctrlKey && /^[cv]$/i.test(event.key) && event.shiftKey)) return;
  event.preventDefault();
  send(letter);
});
keyboard.addEventListener("input", () => { send(keyboard.value.replaceAll("\n", "\r")); keyboard.value = ""; });
