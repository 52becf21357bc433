// Figures as people read them.

export function bytes(count) {
  if (count === null || count === undefined || Number.isNaN(count)) return "–";
  if (count < 1000) return `${Math.round(count)} B`;
  let unit = "";
  for (unit of ["kB", "MB", "GB", "TB", "PB"]) {
    count /= 1000;
    if (count < 999.5) break;
  }
  return `${count < 9.95 ? count.toFixed(1) : Math.round(count)} ${unit}`;
}

export const count = (number) => Number(number).toLocaleString("en");
export const percent = (ratio, digits = 0) => `${(ratio * 100).toFixed(digits)} %`;
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

export function moment(text) {
  if (!text) return "–";
  const at = new Date(/Z|[+-]\d\d:\d\d$/.test(text) ? text : `${text}Z`);
  if (Number.isNaN(at.getTime())) return text;
  const today = at.toDateString() === new Date().toDateString();
  return today
    ? `today ${at.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })}`
    : at.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
}

export function ago(since) {
  const seconds = Math.max(0, Date.now() / 1000 - since);
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  return `${Math.floor(seconds)} s`;
}
