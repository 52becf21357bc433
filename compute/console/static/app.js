// The frame: who is signed in, which page is shown, and the way between pages (the part of the address behind #).

import { announce, h, swap } from "./lib/dom.js";
import { icon } from "./lib/icons.js";
import { iconButton, loading, notice, toast } from "./lib/parts.js";
import { bucketsPage } from "./pages/buckets.js";
import { imagesPage } from "./pages/images.js";
import { instancesPage } from "./pages/instances.js";
import { keysPage } from "./pages/keys.js";
import { nodesPage } from "./pages/nodes.js";
import { objectsPage } from "./pages/objects.js";
import { overviewPage } from "./pages/overview.js";
import { ringPage } from "./pages/ring.js";
import { signInPage } from "./pages/signin.js";
import { volumesPage } from "./pages/volumes.js";
import { learn, leave, restore, session } from "./session.js";

const PAGES = [
  { path: "overview", title: "Overview", symbol: "overview", page: overviewPage, when: () => true },
  { path: "nodes", title: "Nodes", symbol: "nodes", page: nodesPage, when: () => session.canSeeCluster, group: "Cluster" },
  { path: "ring", title: "Ring", symbol: "ring", page: ringPage, when: () => session.canSeeCluster },
  { path: "buckets", title: "Buckets", symbol: "bucket", page: bucketsPage, when: () => true, group: "Storage" },
  { path: "volumes", title: "Volumes", symbol: "volume", page: volumesPage, when: () => session.has("volume") },
  { path: "images", title: "Images", symbol: "image", page: imagesPage, when: () => session.has("image") },
  { path: "instances", title: "Instances", symbol: "server", page: instancesPage, when: () => session.has("compute"), group: "Compute" },
  { path: "keys", title: "Access keys", symbol: "key", page: keysPage, when: () => session.has("identity"), group: "You" },
];

const app = document.getElementById("app");
let ending = new AbortController(); // of the page that is shown
let expiry = null; // a token ends at a known time

function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [first, ...rest] = path.split("/").map(decodeURIComponent);
  return { first: first || "overview", rest, query: new URLSearchParams(query) };
}

function show() {
  ending.abort();
  ending = new AbortController();
  document.querySelectorAll("dialog").forEach((dialog) => dialog.close());
  if (!session) {
    document.title = "Sign in · Holdfast";
    swap(app, signInPage(() => show()));
    return;
  }
  clearTimeout(expiry);
  if (session.expires) expiry = setTimeout(ended, Math.max(0, Date.parse(session.expires) - Date.now()));
  const { first, rest, query } = route();
  const shown = PAGES.filter((each) => each.when());
  const current = shown.find((each) => each.path === first) ?? shown[0];
  document.title = `${rest[0] ?? current.title} · Holdfast`;
  const main = h("main", { class: "main", id: "main", tabindex: "-1" });
  const page = h("div", { class: "page" }, loading());
  main.append(page);
  const isNew = !app.querySelector(".shell");
  if (isNew) swap(app, shell(shown, current, main));
  else {
    app.querySelector(".main").replaceWith(main);
    for (const link of app.querySelectorAll(".nav a")) {
      if (link.dataset.path === current.path) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }
  document.querySelector(".nav a[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  window.scrollTo(0, 0);
  const make = current.path === "buckets" && rest.length ? objectsPage : current.page;
  try {
    make({ page, session, rest, query, signal: ending.signal });
  } catch (problem) {
    swap(page, notice(problem));
  }
  if (!isNew) {
    main.focus({ preventScroll: true });
    announce(current.title);
  }
}

// The address stays: whoever signs in again is where they were.
function ended() {
  leave();
  swap(app);
  show();
  toast({ message: "Your session has ended.", advice: "Sign in again to go on where you were." }, "warn");
}

function shell(shown, current, main) {
  const links = shown.flatMap((each) => [
    each.group && h("div", { class: "group", "aria-hidden": "true" }, each.group),
    h("a", { href: `#/${each.path}`, "data-path": each.path, "aria-current": each === current ? "page" : null }, icon(each.symbol), each.title),
  ]);
  const place = session.isKey ? session.account : `project ${session.projectName}`;
  const role = session.admin ? "administrator" : place;
  return h("div", { class: "shell" },
    h("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); document.getElementById("main").focus(); } }, "Skip to content"),
    h("div", { class: "side" },
      h("a", { class: "brand", href: "#/overview" }, h("img", { src: "/icon.svg", alt: "" }), "Holdfast"),
      h("nav", { class: "nav", "aria-label": "Pages" }, links),
      h("div", { class: "who" }, h("div", {}, h("strong", {}, session.name), h("span", { title: place }, role)),
        iconButton("Sign out", "leave", () => { clearTimeout(expiry); leave(); location.hash = ""; swap(app); show(); }))),
    main);
}

window.addEventListener("hashchange", show);

async function begin() {
  swap(app, h("div", { class: "empty" }, loading()));
  try {
    await learn();
  } catch (problem) {
    swap(app, h("div", { class: "empty" }, notice(problem)));
    setTimeout(begin, 3000);
    return;
  }
  restore();
  swap(app);
  show();
}

begin();
