// Buckets and objects by S3, signed here.

import { sha256 } from "../lib/digest.js";
import { Problem, send, upload } from "../lib/http.js";
import { canonicalQuery, escapedPath, presignedQuery, signedHeaders, UNSIGNED } from "../lib/sign.js";
import { facts } from "../session.js";

const PART = 16 * 1024 * 1024; // bytes; files up to twice as long go in one request
const MOST_PARTS = 10_000;
const AT_ONCE = 3;
const TRIES = 5;

const text = (node, name) => node.getElementsByTagName(name)[0]?.textContent ?? "";
const all = (node, name) => [...node.getElementsByTagName(name)];
const xmlText = (value) => value.replace(/[<>&'"\u0000-\u001f]/g, (c) => `&#${c.charCodeAt(0)};`);

export class S3Store {
  name = "S3";
  noun = "bucket";
  canLink = true;

  constructor(session) { this.identity = session.identity("s3"); }

  path(bucket, key) { return escapedPath(bucket ? `/${bucket}${key !== undefined ? `/${key}` : ""}` : "/"); }

  async request(method, bucket, key, { query = {}, headers = {}, body, signal } = {}) {
    const path = this.path(bucket, key), asked = canonicalQuery(query);
    const signed = await signedHeaders({ identity: this.identity, method, host: facts.s3.host, path, query, headers, payload: body ? UNSIGNED : undefined });
    return send(`/api/s3${path}${asked ? `?${asked}` : ""}`, { method, headers: signed, body, signal });
  }

  async document(...request) {
    return new DOMParser().parseFromString(await (await this.request(...request)).text(), "application/xml");
  }

  async buckets(signal) {
    const found = await this.document("GET", "", undefined, { signal });
    return all(found, "Bucket").map((each) => ({ name: text(each, "Name"), created: text(each, "CreationDate") }));
  }

  createBucket(name) { return this.request("PUT", name); }
  deleteBucket(name) { return this.request("DELETE", name); }

  async list(bucket, { prefix = "", after, limit = 100, signal } = {}) {
    const query = { "list-type": 2, delimiter: "/", prefix, "max-keys": limit, "continuation-token": after };
    const found = await this.document("GET", bucket, undefined, { query, signal });
    return {
      folders: all(found, "CommonPrefixes").map((each) => text(each, "Prefix")),
      objects: all(found, "Contents").map((each) => ({ key: text(each, "Key"), size: Number(text(each, "Size")), modified: text(each, "LastModified"), etag: text(each, "ETag").replaceAll('"', "") })),
      next: text(found, "NextContinuationToken") || undefined,
    };
  }

  async allKeys(bucket, prefix) {
    const keys = [];
    let after;
    do {
      const found = await this.document("GET", bucket, undefined, { query: { "list-type": 2, prefix, "continuation-token": after } });
      keys.push(...all(found, "Contents").map((each) => text(each, "Key")));
      after = text(found, "NextContinuationToken") || undefined;
    } while (after);
    return keys;
  }

  async remove(bucket, keys) {
    for (let at = 0; at < keys.length; at += 1000) {
      const body = `<Delete><Quiet>true</Quiet>${keys.slice(at, at + 1000).map((key) => `<Object><Key>${xmlText(key)}</Key></Object>`).join("")}</Delete>`;
      const sum = await checksum(body);
      const answer = new DOMParser().parseFromString(await (await this.request("POST", bucket, undefined, { query: { delete: "" }, headers: sum, body })).text(), "application/xml");
      const [refused] = all(answer, "Error");
      if (refused) throw new Problem(`${text(refused, "Key")}: ${text(refused, "Message")}`);
    }
  }

  async put(bucket, key, file, { progress, signal }) {
    const type = { "content-type": file.type || "application/octet-stream" };
    if (file.size <= 2 * PART) {
      await tried(() => this.send(bucket, key, {}, type, file, progress, signal), signal);
      return;
    }
    const started = await this.document("POST", bucket, key, { query: { uploads: "" }, headers: type, signal });
    const uploadId = text(started, "UploadId");
    try {
      await this.putParts(bucket, key, file, uploadId, progress, signal);
    } catch (problem) {
      await this.request("DELETE", bucket, key, { query: { uploadId } }).catch(() => {});
      throw problem;
    }
  }

  async putParts(bucket, key, file, uploadId, progress, signal) {
    const size = Math.max(PART, Math.ceil(file.size / MOST_PARTS));
    const count = Math.ceil(file.size / size), etags = new Array(count), sent = new Array(count).fill(0);
    let next = 0;
    const work = async () => {
      while (next < count) {
        const number = next++;
        const told = (loaded) => { sent[number] = loaded; progress(sent.reduce((sum, each) => sum + each, 0)); };
        const piece = file.slice(number * size, (number + 1) * size);
        const answer = await tried(() => this.send(bucket, key, { partNumber: number + 1, uploadId }, {}, piece, told, signal), signal);
        etags[number] = answer.getResponseHeader("etag");
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    const body = `<CompleteMultipartUpload>${etags.map((etag, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>${xmlText(etag)}</ETag></Part>`).join("")}</CompleteMultipartUpload>`;
    const done = await this.document("POST", bucket, key, { query: { uploadId }, body, signal });
    if (done.documentElement.tagName === "Error") throw new Problem(text(done, "Message"));
  }

  async send(bucket, key, query, headers, body, progress, signal) {
    const path = this.path(bucket, key), asked = canonicalQuery(query);
    const signed = await signedHeaders({ identity: this.identity, method: "PUT", host: facts.s3.host, path, query, headers, payload: UNSIGNED });
    return upload(`/api/s3${path}${asked ? `?${asked}` : ""}`, { headers: signed, body, progress, signal });
  }

  get(bucket, key, range, signal) { return this.request("GET", bucket, key, { headers: range ? { range } : {}, signal }); }

  // The browser fetches it by itself, to the disk: a link for this page alone, good for a minute.
  async download(bucket, key) {
    const path = this.path(bucket, key);
    const name = key.split("/").pop();
    const query = { "response-content-disposition": `attachment; filename*=UTF-8''${encodeURIComponent(name)}` };
    const signed = await presignedQuery({ identity: this.identity, host: facts.s3.host, path, query, seconds: 60 });
    return { url: `/api/s3${path}?${signed}`, name };
  }

  async link(bucket, key, seconds) {
    const path = this.path(bucket, key), host = `${location.hostname}:${facts.s3.port}`;
    return `http://${host}${path}?${await presignedQuery({ identity: this.identity, host, path, seconds })}`;
  }
}

async function checksum(body) {
  return { "x-amz-checksum-sha256": btoa(String.fromCharCode(...(await sha256(body)))) };
}

// What failed for the moment is tried again: to send a piece twice changes nothing.
export async function tried(act, signal) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await act();
    } catch (problem) {
      const passing = problem.status === 0 || problem.status === 503 || problem.status === 502 || problem.status === 500;
      if (attempt >= TRIES || !passing || signal?.aborted) throw problem;
      await new Promise((resolve) => setTimeout(resolve, 300 * 2 ** attempt));
    }
  }
}
