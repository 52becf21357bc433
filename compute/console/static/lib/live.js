// Keeps what is shown current: asks again a while after each answer, not while nobody looks, and less while it fails.

const LONGEST_MS = 30_000;

export function live(signal, everyMs, look) {
  let timer = null, failures = 0, running = false, wanted = false;

  async function turn() {
    clearTimeout(timer);
    if (signal.aborted) return;
    if (running) { wanted = true; return; }
    running = true;
    try {
      await look();
      failures = 0;
    } catch (error) {
      if (error.name !== "AbortError") failures += 1;
    }
    running = false;
    if (signal.aborted) return;
    if (wanted) { wanted = false; turn(); return; }
    if (!document.hidden) timer = setTimeout(turn, Math.min(LONGEST_MS, everyMs * 2 ** failures));
  }

  const seen = () => (document.hidden ? clearTimeout(timer) : turn());
  document.addEventListener("visibilitychange", seen, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  turn();
  return turn;
}
