/**
 * A node's control socket, in its data folder: who may write there may do with the node what he likes anyway, so the folder's
 * rights (0700) are the key. One word is known, `reload`; what comes of it is told as it happens, a line of JSON each. A node that
 * cannot have its socket serves all the same: signals do the same.
 */
import { chmod, mkdir, rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { errorFields, type Log } from "../log.ts";
import { RELOAD, SOCKET_FILE, type News, type Over } from "./news.ts";

/** Whoever connects says what he wants at once. */
const ASK_MS = 5_000;
const ASK_CHARS_MAX = 64;

/** Tells what becomes of each model, and resolves with how it ended. */
export type Reload = (tell: (news: News) => void) => Promise<Over>;

export async function listenForControl(dataDir: string, reload: Reload, log: Log): Promise<void> {
  const path = join(dataDir, SOCKET_FILE);
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    if (await answers(path)) throw new Error("another node has this data folder");
    // Left by a node that was killed.
    await rm(path, { force: true });
    const server = createServer((socket) => serve(socket, reload));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, () => {
        server.off("error", reject);
        resolve();
      });
    });
    server.on("error", (error) => log("control_failed", errorFields(error)));
    server.unref();
    await chmod(path, 0o600);
  } catch (error) {
    log("control_unavailable", { path, ...errorFields(error) });
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

function serve(socket: Socket, reload: Reload): void {
  let asked = "";
  const say = (line: News | Over): void =>
    void (socket.writable && socket.write(`${JSON.stringify(line)}\n`));
  const answer = async (): Promise<void> => {
    say(await reload(say));
    socket.end();
  };
  // Who has left is told nothing more; what he asked for goes on.
  socket.on("error", () => undefined);
  socket.setTimeout(ASK_MS, () => socket.destroy());
  socket.setEncoding("utf8").on("data", (text: string) => {
    asked += text;
    const whole = asked.includes("\n");
    if (asked.length > ASK_CHARS_MAX || (whole && asked.trim() !== RELOAD)) {
      socket.destroy();
      return;
    }
    if (!whole) return;
    socket.removeAllListeners("data");
    socket.setTimeout(0);
    void answer();
  });
}
