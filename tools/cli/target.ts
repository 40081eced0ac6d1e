/**
 * Which platform a command talks to, and with what token: `--url`/`--token`, else SLUICE_URL/SLUICE_ADMIN_TOKEN, else
 * the local platform that `npm start` wrote into .sluice/dev.json.
 *
 * The local file's URL and token belong together: neither goes with the other half of a deployment's, so that a
 * production token never travels to whatever listens on this machine, nor a local one away from it.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { misused } from "./complaint.ts";

export type Target = { readonly baseUrl: string; readonly token: string };

const DevFile = z.object({ baseUrl: z.string(), adminToken: z.string() });
const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

export function findTarget(
  given: { readonly url?: string | undefined; readonly token?: string | undefined },
  env: { readonly [name: string]: string | undefined },
  folder: string,
): Target {
  const url = given.url ?? env["SLUICE_URL"];
  const token = given.token ?? (url === undefined ? undefined : env["SLUICE_ADMIN_TOKEN"]);
  const local = url === undefined ? readDevFile(join(folder, ".sluice", "dev.json")) : undefined;
  const baseUrl = url ?? local?.baseUrl;
  if (baseUrl === undefined)
    throw misused(
      "no platform was named, and none was started here",
      "start one with npm start, or give --url and --token (or SLUICE_URL and SLUICE_ADMIN_TOKEN)",
    );
  const usable = token ?? local?.adminToken;
  if (usable === undefined || usable === "")
    throw misused("the admin token is missing", "give --token, or set SLUICE_ADMIN_TOKEN beside SLUICE_URL");
  return { baseUrl: checkedOrigin(baseUrl), token: usable };
}

function checkedOrigin(text: string): string {
  if (!URL.canParse(text)) throw misused(`"${text}" is not a URL`, "it looks like https://api.example.com");
  const url = new URL(text);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && LOOPBACK.has(url.hostname)))
    throw misused(`the admin token does not travel to ${url.origin} unencrypted`, "use an https:// URL");
  return url.origin;
}

function readDevFile(path: string): z.infer<typeof DevFile> | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
  try {
    return DevFile.parse(JSON.parse(text));
  } catch {
    throw misused(`${path} cannot be read`, "start the local platform again with npm start");
  }
}
