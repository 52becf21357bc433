// Buckets and objects by Swift, with the token of the session: no key is needed.

import { hex, hmac } from "../lib/digest.js";
import { json, Problem, send, upload } from "../lib/http.js";
import { canonicalQuery, escapedPath } from "../lib/sign.js";
import { facts } from "../session.js";
import { tried } from "./s3.js";

const PART = 16 * 1024 * 1024;
const MOST_PARTS = 1000;
const AT_ONCE = 3;

export class SwiftStore {
  name = "Swift";
  noun = "container";

  constructor(session) {
    this.base = `/v1/${session.account}`;
    this.token = { "x-auth-token": session.token };
    this.canLink = session.roles.some((role) => ["admin", "manager", "member"].includes(role));
  }

  path(bucket, key) { return escapedPath(`${this.base}${bucket ? `/${bucket}` : ""}${key !== undefined ? `/${key}` : ""}`); }
  url(bucket, key, query = {}) { const asked = canonicalQuery(query); return `/api/swift${this.path(bucket, key)}${asked ? `?${asked}` : ""}`; }
  request(method, bucket, key, { query, headers, ...rest } = {}) { return send(this.url(bucket, key, query), { method, headers: { ...this.token, ...headers }, ...rest }); }

  async buckets(signal) {
    const found = await json(this.url("", undefined, { format: "json" }), { headers: this.token, signal });
    return (found ?? []).map((each) => ({ name: each.name, count: each.count, bytes: each.bytes, created: each.last_modified }));
  }

  createBucket(name) { return this.request("PUT", name); }
  deleteBucket(name) { return this.request("DELETE", name); }

  async list(bucket, { prefix = "", after, limit = 100, signal } = {}) {
    const found = (await json(this.url(bucket, undefined, { format: "json", delimiter: "/", prefix, limit, marker: after }), { headers: this.token, signal })) ?? [];
    const last = found.at(-1);
    return {
      folders: found.filter((each) => each.subdir !== undefined).map((each) => each.subdir),
      objects: found.filter((each) => each.name !== undefined).map((each) => ({ key: each.name, size: each.bytes, modified: each.last_modified, etag: each.hash, type: each.content_type, large: Boolean(each.slo_etag) })),
      next: found.length === limit ? (last.name ?? last.subdir) : undefined,
    };
  }

  async allKeys(bucket, prefix) {
    const keys = [];
    for (let marker; ;) {
      const found = (await json(this.url(bucket, undefined, { format: "json", prefix, marker, limit: 1000 }), { headers: this.token })) ?? [];
      keys.push(...found.map((each) => each.name));
      if (found.length < 1000) return keys;
      marker = found.at(-1).name;
    }
  }

  async remove(bucket, keys) {
    let next = 0;
    const work = async () => {
      while (next < keys.length) {
        const key = keys[next++];
        const head = await this.request("HEAD", bucket, key).catch((problem) => { if (problem.status !== 404) throw problem; });
        if (!head) continue;
        const isLarge = head.headers.get("x-static-large-object") === "True";
        await this.request("DELETE", bucket, key, { query: isLarge ? { "multipart-manifest": "delete" } : {} });
      }
    };
    await Promise.all(Array.from({ length: 4 }, work));
  }

  async put(bucket, key, file, { progress, signal }) {
    const type = { "content-type": file.type || "application/octet-stream" };
    if (file.size <= 2 * PART) {
      await tried(() => upload(this.url(bucket, key), { headers: { ...this.token, ...type }, body: file, progress, signal }), signal);
      return;
    }
    const segments = `${bucket}_segments`, below = `${key}/${Date.now()}`;
    const size = Math.max(PART, Math.ceil(file.size / MOST_PARTS)), count = Math.ceil(file.size / size);
    const manifest = new Array(count), sent = new Array(count).fill(0);
    await this.createBucket(segments);
    let next = 0;
    const work = async () => {
      while (next < count) {
        const number = next++, name = `${below}/${String(number).padStart(5, "0")}`;
        const piece = file.slice(number * size, (number + 1) * size);
        const told = (loaded) => { sent[number] = loaded; progress(sent.reduce((sum, each) => sum + each, 0)); };
        const answer = await tried(() => upload(this.url(segments, name), { headers: this.token, body: piece, progress: told, signal }), signal);
        manifest[number] = { path: `/${segments}/${name}`, etag: answer.getResponseHeader("etag").replaceAll('"', ""), size_bytes: piece.size };
      }
    };
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, work));
      await this.request("PUT", bucket, key, { query: { "multipart-manifest": "put" }, headers: type, body: JSON.stringify(manifest), signal });
    } catch (problem) {
      await this.remove(segments, await this.allKeys(segments, `${below}/`).catch(() => [])).catch(() => {});
      throw problem;
    }
  }

  get(bucket, key, range, signal) { return this.request("GET", bucket, key, { headers: range ? { range } : {}, signal }); }

  async download(bucket, key) {
    const blob = await (await this.get(bucket, key)).blob();
    return { url: URL.createObjectURL(blob), name: key.split("/").pop(), isBlob: true };
  }

  // A temporary URL under the container's own key, which is made when there is none.
  async link(bucket, key, seconds) {
    const head = await this.request("HEAD", bucket);
    let secret = head.headers.get("x-container-meta-temp-url-key");
    if (!secret) {
      secret = hex(crypto.getRandomValues(new Uint8Array(20)));
      await this.request("POST", bucket, undefined, { headers: { "x-container-meta-temp-url-key": secret } });
    }
    const path = `${this.base}/${bucket}/${key}`, expires = Math.floor(Date.now() / 1000) + seconds;
    const signature = hex(await hmac(secret, `GET\n${expires}\n${path}`));
    if (!signature) throw new Problem("The link could not be made.");
    return `http://${location.hostname}:${facts.swift.port}${this.path(bucket, key)}?temp_url_sig=${signature}&temp_url_expires=${expires}`;
  }
}
