// Our own icons: lines on a grid of 24.

import { s } from "./dom.js";

const PATHS = {
  overview: "M4 13a8 8 0 0 1 16 0M12 13l4-4M4 19h16",
  nodes: "M4 5h16v6H4zM4 13h16v6H4zM8 8h.01M8 16h.01M12 8h5M12 16h5",
  ring: "M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8M12 3v5M4.500 16.500l4-2.300M19.500 16.500l-4-2.300",
  bucket: "M4 7c0-1.600 3.600-3 8-3s8 1.400 8 3-3.600 3-8 3-8-1.400-8-3M4 7l1.600 11c.3 1.200 3 2 6.400 2s6.100-.8 6.400-2L20 7",
  volume: "M5 4h14v16H5zM9 16h6M12 11a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5",
  image: "M12 3l8 4.500v9L12 21l-8-4.500v-9zM4 7.500l8 4.500 8-4.500M12 12v9",
  server: "M3 5h18v11H3zM8 20h8M12 16v4M7 9l2.500 2L7 13",
  key: "M8 11a4 4 0 1 1 0 8 4 4 0 0 1 0-8M11 12l8-8M16 7l3 3M14 9l2 2",
  folder: "M3 6h6l2 2.500h10V19H3z",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  up: "M12 16V4M7 9l5-5 5 5M4 20h16",
  down: "M12 4v12M7 11l5 5 5-5M4 20h16",
  plus: "M12 5v14M5 12h14",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v6M14 11v6",
  link: "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
  eye: "M2.500 12S6 5.500 12 5.500 21.500 12 21.500 12 18 18.500 12 18.500 2.500 12 2.500 12M12 9.500a2.500 2.500 0 1 1 0 5 2.500 2.500 0 0 1 0-5",
  camera: "M4 8h4l2-3h4l2 3h4v11H4zM12 10a3.500 3.500 0 1 1 0 7 3.500 3.500 0 0 1 0-7",
  grow: "M4 14v6h6M20 10V4h-6M4 20l7-7M20 4l-7 7",
  more: "M5 11.500v1M12 11.500v1M19 11.500v1",
  picture: "M4 5h16v14H4zM4 16l5-5 4 4 3-2.500 4 3.500M15.500 8.500h.01",
  close: "M6 6l12 12M18 6L6 18",
  check: "M5 12.500l4.500 4.500L19 7.500",
  warn: "M12 4l9 16H3zM12 10v4M12 17h.01",
  repair: "M14.500 6.500a4 4 0 0 1 5-1l-2.500 2.500 1 2 2 .5 1-1a4.500 4.500 0 0 1-6 5L8 21l-3-3 6.500-6.800a4.500 4.500 0 0 1 3-4.700",
  leave: "M14 4h5v16h-5M10 8l-4 4 4 4M6 12h9",
  play: "M8 5l11 7-11 7z",
  stop: "M6 6h12v12H6z",
  again: "M19 12a7 7 0 1 1-2-5M19 3v5h-5",
  terminal: "M3 5h18v14H3zM7 9l3 3-3 3M12 15h5",
  screen: "M3 5h18v12H3zM9 20h6M12 17v3",
  copy: "M8 8h12v12H8zM16 8V4H4v12h4",
  disk: "M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18M12 10a2 2 0 1 1 0 4 2 2 0 0 1 0-4",
};

export function icon(name) {
  return s("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" }, s("path", { d: PATHS[name] }));
}
