/** Node has WebCrypto's `CryptoKey` as a global, but its typings name only the value: this adds the type. */
type CryptoKey = import("node:crypto").webcrypto.CryptoKey;
