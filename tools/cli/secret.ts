/** Reads one secret from whoever started a command: piped in, or typed without being shown. */
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";

const CHARS_MAX = 4_096;

export async function readSecret(asks: string): Promise<string> {
  const { stdin, stderr } = process;
  if (!stdin.isTTY) {
    let text = "";
    for await (const part of stdin.setEncoding("utf8")) {
      text += String(part);
      if (text.length > CHARS_MAX) break;
    }
    return text.slice(0, CHARS_MAX);
  }
  stderr.write(asks);
  const nowhere = new Writable({ write: (_part, _encoding, done) => done() });
  const lines = createInterface({ input: stdin, output: nowhere, terminal: true });
  try {
    return await lines.question("");
  } finally {
    lines.close();
    stderr.write("\n");
  }
}
