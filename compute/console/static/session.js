// Who is signed in: in memory and in this tab's sessionStorage, nowhere else.

import { json, Problem, send } from "./lib/http.js";
import { escapedPath, signedHeaders } from "./lib/sign.js";

const PLACE = "holdfast-session";
const CONSOLE_SERVICE = "holdfast-console";

export let facts = null; // of the console: services, region, where S3 is

export async function learn() {
  facts = await json("/api/console");
}

export class Session {
  constructor(kept) { Object.assign(this, kept); }

  get isKey() { return this.kind === "key"; }
  get canSeeCluster() { return this.admin; }

  // Whether a service is in the cluster, and this session has a way to it.
  has(service) {
    if (service === "s3" || service === "swift") return true;
    return !this.isKey && facts.services.includes(service) && (service === "identity" || this.catalog.includes(service));
  }

  identity(service) { return { accessKey: this.accessKey, secret: this.secret, region: facts.region, service }; }

  // Header fields for what the console answers by itself.
  async proof(path) {
    if (!this.isKey) return { "x-auth-token": this.token };
    return signedHeaders({ identity: this.identity(CONSOLE_SERVICE), method: "GET", host: location.host, path: escapedPath(path) });
  }

  async own(path, signal) { return json(path, { headers: await this.proof(path), signal }); }

  // A request to one of OpenStack's services.
  async ask(service, path, { version, headers, ...options } = {}) {
    const named = version ? { "openstack-api-version": version } : {};
    return json(`/api/${service}${path}`, { ...options, headers: { "x-auth-token": this.token, ...named, ...headers } });
  }
}

export let session = null;

function keep(kept) {
  session = new Session(kept);
  sessionStorage.setItem(PLACE, JSON.stringify(kept));
  return session;
}

export function restore() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(PLACE));
    if (kept && !(kept.expires && Date.parse(kept.expires) < Date.now())) session = new Session(kept);
  } catch { /* what is there is not ours */ }
  return session;
}

export function leave() {
  const left = session;
  session = null;
  sessionStorage.removeItem(PLACE);
  if (left && !left.isKey) {
    json("/api/identity/v3/auth/tokens", { method: "DELETE", headers: { "x-auth-token": left.token, "x-subject-token": left.token } }).catch(() => {});
  }
}

export async function enterByKey(accessKey, secret) {
  const trial = new Session({ kind: "key", accessKey: accessKey.trim(), secret: secret.trim() });
  let me;
  try {
    me = await trial.own("/api/me");
  } catch (problem) {
    if (problem.status !== 401) throw problem;
    throw new Problem("The cluster does not know this access key, or the secret is another one.", { status: 401,
      advice: "`holdfast env` shows those of the administrator. Is this computer's clock right? Signatures are good for 15 minutes." });
  }
  return keep({ kind: "key", accessKey: trial.accessKey, secret: trial.secret, ...me });
}

export async function enterByPassword({ user, password, project, domain }) {
  const named = { domain: { name: domain || "Default" } };
  const identity = { methods: ["password"], password: { user: { name: user, password, ...named } } };
  const scope = project ? { project: { name: project, ...named } } : undefined;
  let response;
  try {
    response = await sendToken({ auth: { identity, scope } });
  } catch (problem) {
    if (problem.status !== 401) throw problem;
    throw new Problem("User, password and project do not fit together.", { status: 401,
      advice: "Without a project your first one is taken. An administrator finds names and passwords by `openstack user list`." });
  }
  let found = await taken(response);
  if (!found.project) found = await intoFirstProject(found);
  const me = await new Session(found).own("/api/me");
  return keep({ ...found, account: me.account, admin: me.admin });
}

async function intoFirstProject(unscoped) {
  const { projects } = await json("/api/identity/v3/auth/projects", { headers: { "x-auth-token": unscoped.token } });
  const [first] = projects.filter((each) => each.enabled);
  if (!first) throw new Problem("You have no role in any project yet.", { advice: "Ask an administrator: `openstack role add --user NAME --project NAME member`." });
  const identity = { methods: ["token"], token: { id: unscoped.token } };
  return taken(await sendToken({ auth: { identity, scope: { project: { id: first.id } } } }));
}

async function sendToken(body) {
  return send("/api/identity/v3/auth/tokens", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
}

const SERVICES = { "image": "image", "block-storage": "volume", "volumev3": "volume", "compute": "compute", "network": "network", "identity": "identity" };

async function taken(response) {
  const { token } = await response.json();
  const catalog = [...new Set((token.catalog ?? []).map((each) => SERVICES[each.type]).filter(Boolean))];
  return {
    kind: "token", token: response.headers.get("x-subject-token"), expires: token.expires_at, userId: token.user.id, name: token.user.name,
    project: token.project?.id, projectName: token.project?.name, roles: (token.roles ?? []).map((role) => role.name), catalog,
  };
}
