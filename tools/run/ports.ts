/** TCP ports on loopback: whether one is free, and one that is. */
import { createServer } from "node:net";

const HOST = "127.0.0.1";

/** The port, where nothing listens on it; 0 asks for any. Undefined where it is taken. */
export function probePort(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(undefined));
    server.listen(port, HOST, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : undefined));
    });
  });
}

/** A port nobody listens on now. Another process may take it before we do: the caller sees that when it binds. */
export async function freePort(preferred = 0): Promise<number> {
  const port = (await probePort(preferred)) ?? (await probePort(0));
  if (port === undefined) throw new Error("no TCP port on 127.0.0.1 is free");
  return port;
}
