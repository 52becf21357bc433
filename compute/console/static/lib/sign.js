// Signature Version 4, made here, so that the secret stays here.
// Source: Amazon S3 API Reference, "Authenticating Requests (AWS Signature Version 4)".

import { hex, hmac, sha256 } from "./digest.js";

const ALGORITHM = "AWS4-HMAC-SHA256";
const EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const UNSIGNED = "UNSIGNED-PAYLOAD";

export const escaped = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
export const escapedPath = (text) => text.split("/").map(escaped).join("/");

// Query parameters in the order and form in which they are signed; they are sent so, too.
export function canonicalQuery(parameters) {
  return Object.entries(parameters).filter(([, value]) => value !== undefined)
    .map(([name, value]) => [escaped(name), escaped(String(value))])
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([name, value]) => `${name}=${value}`).join("&");
}

const keys = new Map();

async function signingKey(secret, date, region, service) {
  const known = `${secret}/${date}/${region}/${service}`;
  if (!keys.has(known)) {
    let key = `AWS4${secret}`;
    for (const part of [date, region, service, "aws4_request"]) key = await hmac(key, part);
    keys.clear();
    keys.set(known, key);
  }
  return keys.get(known);
}

async function signature(identity, stamp, canonical) {
  const scope = `${stamp.slice(0, 8)}/${identity.region}/${identity.service}/aws4_request`;
  const text = [ALGORITHM, stamp, scope, hex(await sha256(canonical))].join("\n");
  const key = await signingKey(identity.secret, stamp.slice(0, 8), identity.region, identity.service);
  return { scope, value: hex(await hmac(key, text)) };
}

const stampOf = (at) => at.toISOString().replace(/[-:]|\.\d+/g, "");

// Header fields that sign a request. `path` is escaped; `identity`: accessKey, secret, region, service; host.
export async function signedHeaders({ identity, method, host, path, query = {}, headers = {}, payload = EMPTY, at = new Date() }) {
  const stamp = stampOf(at);
  const fields = { host, "x-amz-date": stamp };
  for (const [name, value] of Object.entries(headers)) fields[name.toLowerCase()] = String(value).trim();
  if (identity.service === "s3") fields["x-amz-content-sha256"] = payload;
  const names = Object.keys(fields).sort();
  const canonical = [method, path, canonicalQuery(query), ...names.map((name) => `${name}:${fields[name]}`), "", names.join(";"), payload].join("\n");
  const { scope, value } = await signature(identity, stamp, canonical);
  delete fields.host;
  return { ...fields, authorization: `${ALGORITHM} Credential=${identity.accessKey}/${scope}, SignedHeaders=${names.join(";")}, Signature=${value}` };
}

// The query of a link that is good for `seconds`, without any header field.
export async function presignedQuery({ identity, method = "GET", host, path, query = {}, seconds, at = new Date() }) {
  const stamp = stampOf(at);
  const all = {
    ...query,
    "X-Amz-Algorithm": ALGORITHM,
    "X-Amz-Credential": `${identity.accessKey}/${stamp.slice(0, 8)}/${identity.region}/${identity.service}/aws4_request`,
    "X-Amz-Date": stamp,
    "X-Amz-Expires": seconds,
    "X-Amz-SignedHeaders": "host",
  };
  const canonical = [method, path, canonicalQuery(all), `host:${host}`, "", "host", UNSIGNED].join("\n");
  const { value } = await signature(identity, stamp, canonical);
  return `${canonicalQuery(all)}&X-Amz-Signature=${value}`;
}

export { UNSIGNED };
