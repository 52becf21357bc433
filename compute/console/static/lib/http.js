// Requests to this origin, and what went wrong with them in words.

export class Problem extends Error {
  constructor(message, { status = 0, advice = "", code = "" } = {}) {
    super(message);
    Object.assign(this, { status, advice, code });
  }
}

const ADVICE = {
  0: "Is the cluster running, and this computer on its network? It is tried again by itself.",
  401: "Sign out, and in again.",
  403: "Ask an administrator of the project for the right to do this.",
  404: "It may have been deleted meanwhile: reload the page.",
  409: "Look at what is there now, then try again.",
  413: "Make room, or ask an administrator for a larger quota.",
  429: "Wait a moment, then try again.",
  500: "The log of the service tells why.",
  502: "The service may be starting: wait a moment. `holdfast status` tells more.",
  503: "Wait a moment, then try again: too few storage nodes answered, or the service is starting.",
  504: "Look whether it has happened before you try again.",
  507: "Too few devices have room: delete something, or add a device.",
};

export function problemOf(status, text, contentType = "") {
  let message = "", code = "";
  if (/json/.test(contentType) || /^\s*[{[]/.test(text)) {
    try {
      const found = JSON.parse(text);
      const inner = found.error ?? Object.values(found).find((each) => each?.message) ?? found;
      message = inner.message ?? inner.title ?? inner.NeutronError?.message ?? "";
    } catch { /* not what it says it is */ }
  } else if (/<Error>/.test(text)) {
    const xml = new DOMParser().parseFromString(text, "application/xml");
    code = xml.querySelector("Code")?.textContent ?? "";
    message = xml.querySelector("Message")?.textContent ?? code;
  } else if (text) {
    message = new DOMParser().parseFromString(text, "text/html").body.textContent.trim().slice(0, 400);
  }
  return new Problem(message || `The answer was ${status}.`, { status, code, advice: ADVICE[status] ?? (status >= 500 ? ADVICE[503] : "") });
}

export const unreachable = () => new Problem("The cluster's console does not answer.", { advice: ADVICE[0] });

export async function send(url, options = {}) {
  let response;
  try {
    response = await fetch(url, { cache: "no-store", credentials: "omit", redirect: "error", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable();
  }
  if (!response.ok) throw problemOf(response.status, await response.text().catch(() => ""), response.headers.get("content-type") ?? "");
  return response;
}

export async function json(url, { body, ...options } = {}) {
  const headers = { accept: "application/json", ...options.headers };
  if (body !== undefined) headers["content-type"] ??= "application/json";
  const response = await send(url, { ...options, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

// A request with a body whose progress can be seen: fetch cannot tell. Resolves to the response's header fields.
export function upload(url, { method = "PUT", headers = {}, body, progress = () => {}, signal }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => progress(event.loaded));
    request.addEventListener("load", () => {
      if (request.status >= 200 && request.status < 300) resolve(request);
      else reject(problemOf(request.status, request.responseText, request.getResponseHeader("content-type") ?? ""));
    });
    request.addEventListener("error", () => reject(unreachable()));
    request.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")));
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(body);
  });
}
