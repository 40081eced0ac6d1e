/**
 * Where a node or an upstream may be reached. Only an admin ever names such a URL: of a node only an origin, of an upstream
 * a base without a query: what else may stand in a URL would end up in places where nobody expects it.
 */

const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

export type NodeUrl =
  | { readonly ok: true; readonly url: string }
  | { readonly ok: false; readonly why: string };

/** The origin in its one spelling, or what is wrong with it. Plain http is for loopback in a local run alone. */
export function checkNodeUrl(text: string, dev: boolean): NodeUrl {
  const checked = checkedUrl(text, dev);
  if (!(checked instanceof URL)) return checked;
  if (checked.pathname !== "/" || checked.search !== "" || checked.hash !== "")
    return { ok: false, why: "must be an origin alone, without a path, query or fragment" };
  return { ok: true, url: checked.origin };
}

/** The base URL of an upstream's API, as in OpenAI's SDKs (`https://api.example.com/v1`), without a slash at its end. */
export function checkBaseUrl(text: string, dev: boolean): NodeUrl {
  const checked = checkedUrl(text, dev);
  if (!(checked instanceof URL)) return checked;
  if (checked.search !== "" || checked.hash !== "")
    return { ok: false, why: "must be without a query or fragment" };
  return { ok: true, url: (checked.origin + checked.pathname).replace(/\/+$/, "") };
}

function checkedUrl(text: string, dev: boolean): URL | Extract<NodeUrl, { ok: false }> {
  if (!URL.canParse(text)) return { ok: false, why: "is not a URL" };
  const url = new URL(text);
  const plainAllowed = dev && LOOPBACK.has(url.hostname);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && plainAllowed))
    return { ok: false, why: "must begin with https:// (http:// is for loopback in a local run alone)" };
  if (url.username !== "" || url.password !== "")
    return { ok: false, why: "must not hold a user or password" };
  return url;
}
