/**
 * How a Worker's own `fetch` leaves this machine's workerd: straight into the network, as on Cloudflare.
 *
 * miniflare puts an interceptor, a Worker of its own, before every outgoing call: it copies the headers, adds the zone's
 * name and looks whether an image is to be resized. Nothing here wants that, and it costs as much as the call itself (measured in
 * bench/README.md). No option takes it away; but a binding to a network is not intercepted, so `fetch` is made to go there.
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
