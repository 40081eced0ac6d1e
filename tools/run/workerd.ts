/**
 * How workerd is run here where miniflare would run it dearer. Used by whoever starts one: the edge, and what it is compared with.
 *
 * A Worker's own `fetch` leaves straight into the network, as on Cloudflare. miniflare puts an interceptor, a Worker of its own, before
 * every outgoing call: it copies the headers, adds the zone's name and looks whether an image is to be resized. Nothing here wants that,
 * and it costs as much as the call itself (bench/README.md). No option takes it away; but a binding to a network is not intercepted, so
 * `fetch` is made to go there.
 *
 * V8 begins with a small heap and collects it whenever it has grown a little; every promise of the platform's leaves garbage where only
 * the slow collection finds it. So it is given some room at once.
 */
import { getCACertificates } from "node:tls";

const BINDING = "LOCAL_NETWORK";

/** For miniflare's `serviceBindings`. Which hosts are called is the Worker's decision, as it is where it is deployed. */
export const straightNetwork = {
  [BINDING]: {
    network: {
      allow: ["public", "private"],
      // As miniflare's own: a node may stand behind a certificate that only this machine trusts.
      tlsOptions: { trustBrowserCas: true, trustedCertificates: getCACertificates("extra") },
    },
  },
};

/** A module that is imported before any that fetches. */
export const STRAIGHT_FETCH_SOURCE = `
  import { env } from "cloudflare:workers";
  globalThis.fetch = (input, init) => env.${BINDING}.fetch(input, init);
`;

/** An isolate that is busy grows by this much before the first slow collection; the idle ones do not. */
const OLD_SPACE_MB = 64;

/** To be called before miniflare starts a workerd: it takes V8's flags from this process's environment, and from nowhere else. */
export function giveRoom(): void {
  process.env["MINIFLARE_WORKERD_V8_FLAGS"] ??= `--initial-old-space-size=${OLD_SPACE_MB}`;
}
