/**
 * Which web pages of other origins may call this API from a browser: those an operator has named, and none besides. Pure.
 *
 * There are no cookies here, so a page can do nothing in a visitor's name; what a list of origins limits is who builds
 * pages that hold keys. A browser asks before it sends `authorization`, and shows a page nothing without our word; so a
 * call from an origin that is not named simply gets none.
 */

/** Not for pages: an admin's token and a node's signature have no place in a browser. */
const CLOSED = /^\/(admin|node)(\/|$)/;
/** What browsers keep of a permission, at most. */
const MAX_AGE_S = 7_200;
/** SDKs send headers of their own, and new ones with each version; unknown headers are ignored here anyway. */
const HEADER_NAMES = /^[\w\-, ]{1,1024}$/;

export type Origins = ReadonlySet<string>;

/** `https://a.example, https://b.example:8443`. Throws, with what is wrong, where one of them is not an origin. */
export function parseOrigins(text: string | undefined): Origins {
  const named = (text ?? "").split(/[,\s]+/).filter((entry) => entry !== "");
  for (const entry of named) {
    if (!URL.canParse(entry) || new URL(entry).origin !== entry || !/^https?:/.test(entry))
      throw new Error(
        `SLUICE_CORS_ORIGINS: ${entry.slice(0, 100)} is not an origin like https://app.example.com`,
      );
  }
  return new Set(named);
}

/** The origin that asks, where it may; undefined for everybody else, and for every call that is no page's. */
export function allowedOrigin(request: Request, origins: Origins): string | undefined {
  const origin = request.headers.get("origin");
  if (origin === null || !origins.has(origin) || CLOSED.test(new URL(request.url).pathname)) return undefined;
  return origin;
}

/** The answer to a browser's question whether it may call; undefined where the request is a call itself. */
export function preflight(request: Request, origin: string): Response | undefined {
  if (request.method !== "OPTIONS" || !request.headers.has("access-control-request-method")) return undefined;
  const asked = request.headers.get("access-control-request-headers") ?? "";
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-origin": origin,
      "access-control-allow-methods": "GET, POST, PATCH, DELETE",
      ...(HEADER_NAMES.test(asked) ? { "access-control-allow-headers": asked } : {}),
      "access-control-max-age": String(MAX_AGE_S),
      vary: "origin, access-control-request-method, access-control-request-headers",
    },
  });
}

/** The same answer, for a page to read: request ids, limits and what says where it came from included. */
export function readableFor(origin: string, response: Response): Response {
  const readable = new Response(response.body, response);
  readable.headers.set("access-control-allow-origin", origin);
  readable.headers.set("access-control-expose-headers", "*");
  readable.headers.append("vary", "origin");
  return readable;
}
