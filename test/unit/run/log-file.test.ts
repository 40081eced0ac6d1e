/** A full disk costs lines of a log, and nothing else. /dev/full is the disk: every write to it fails with ENOSPC. */
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "vitest";
import { LogFile } from "../../../tools/run/log-file.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-log-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("what is written stands there, in order, behind what an earlier start wrote", ({ expect }) => {
  const path = join(folder, "a.log");
  for (const line of ["one\n", "two\n"]) {
    const log = new LogFile(path);
    log.write(line);
    log.write(new TextEncoder().encode("bytes\n"));
    log.close();
  }
  expect(readFileSync(path, "utf8")).toBe("one\nbytes\ntwo\nbytes\n");
});

test.runIf(process.platform === "linux")(
  "a full disk throws at nobody; once there is room the log says how much is missing, and goes on",
  ({ expect }) => {
    const path = join(folder, "b.log");
    symlinkSync("/dev/full", path);
    const log = new LogFile(path);
    log.write("lost\n");
    log.write("lost too\n");
    rmSync(path);
    log.write("kept\n");
    log.close();
    expect(readFileSync(path, "utf8")).toBe("(2 pieces of this log could not be written)\nkept\n");
  },
);
