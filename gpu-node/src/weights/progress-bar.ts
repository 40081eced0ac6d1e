/** Shows a download on stderr: a bar that is redrawn on a terminal, a line every ten percent in a log. */
const WIDTH = 30;
const REDRAW_MS = 200;

export type Progress = (doneBytes: number, totalBytes: number) => void;

type Output = { readonly isTTY?: boolean; write(text: string): unknown };

export function progressBar(
  name: string,
  output: Output = process.stderr,
  now: () => number = Date.now,
): Progress {
  const startedAt = now();
  let drawnAt = Number.NEGATIVE_INFINITY;
  let tenth = -1;
  let first: number | undefined;
  return (doneBytes, totalBytes) => {
    first ??= doneBytes;
    const share = totalBytes > 0 ? doneBytes / totalBytes : 0;
    const perSecond = (doneBytes - first) / Math.max(0.001, (now() - startedAt) / 1000);
    const line = `${name} ${Math.floor(share * 100)} % of ${megabytes(totalBytes)} MB, ${megabytes(perSecond)} MB/s`;
    if (output.isTTY === true) {
      if (now() - drawnAt < REDRAW_MS && doneBytes < totalBytes) return;
      drawnAt = now();
      const filled = Math.round(share * WIDTH);
      const end = doneBytes >= totalBytes ? "\n" : "";
      output.write(`\r[${"#".repeat(filled)}${".".repeat(WIDTH - filled)}] ${line}\u001b[K${end}`);
    } else if (Math.floor(share * 10) > tenth) {
      tenth = Math.floor(share * 10);
      output.write(`${line}\n`);
    }
  };
}

function megabytes(bytes: number): string {
  return (bytes / 1_000_000).toFixed(1);
}
