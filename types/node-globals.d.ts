/** Node has WebCrypto's `CryptoKey` as a global, but its typings name only the value: this adds the type. */
import type { webcrypto } from "node:crypto";

declare global {
  type CryptoKey = webcrypto.CryptoKey;
}
