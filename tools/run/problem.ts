/** Something that the person at the keyboard can put right: the message says what to do, and no stack trace is shown. */
export class PlatformError extends Error {
  override readonly name = "PlatformError";
}
