/**
 * How workerd is run here where miniflare would run it dearer. Used by whoever starts one: the edge, and what it is compared with.
 *
 * A Worker's own `fetch` leaves straight into the network, as on Cloudflare. miniflare puts an interceptor, a Worker of its own, before
 * every outgoing call: it copies the headers, adds the zone's name and looks whether an image is to be resized. Nothing here wants that,
 * and it costs as much as the call itself (bench/README.md). No option takes it away; but a binding to a network is not intercepted, so
 * `fetch` is made to go there.
 *
 * Its allocator keeps what was freed per core where it can use the kernel's restartable sequences; glibc takes these first, and is told
 * not to.
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

/** For miniflare's `unsafeRuntimeEnv`. On other systems than Linux with glibc it means nothing. */
export const workerdEnvironment = { GLIBC_TUNABLES: process.env["GLIBC_TUNABLES"] ?? "glibc.pthread.rseq=0" };
