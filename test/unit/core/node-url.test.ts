/** Which URLs an admin may give a node, and an upstream. */
import { test } from "vitest";
import { checkBaseUrl, checkNodeUrl } from "../../../src/core/node-url.ts";

const CASES = [
  ["https://gpu1.example.com", false, "https://gpu1.example.com"],
  ["https://gpu1.example.com:8443/", false, "https://gpu1.example.com:8443"],
  ["HTTPS://GPU1.example.com", false, "https://gpu1.example.com"],
  ["http://gpu1.example.com", true, "must begin with https://"],
  ["http://127.0.0.1:9000", true, "http://127.0.0.1:9000"],
  ["http://[::1]:9000", true, "http://[::1]:9000"],
  ["http://127.0.0.1:9000", false, "must begin with https://"],
  ["http://127.0.0.1.example.com", true, "must begin with https://"],
  ["https://me:secret@gpu1.example.com", false, "must not hold a user"],
  ["https://gpu1.example.com/v1", false, "must be an origin alone"],
  ["https://gpu1.example.com/?a=b", false, "must be an origin alone"],
  ["ftp://gpu1.example.com", true, "must begin with https://"],
  ["gpu1", true, "is not a URL"],
] as const;

test.for(CASES)("%s (local run: %s) gives %s", ([text, dev, expected], { expect }) => {
  const checked = checkNodeUrl(text, dev);
  expect(checked.ok ? checked.url : checked.why).toContain(expected);
});

const BASES = [
  ["https://api.example.com/v1", false, "https://api.example.com/v1"],
  ["https://API.example.com/v1//", false, "https://api.example.com/v1"],
  ["https://api.example.com", false, "https://api.example.com"],
  ["http://127.0.0.1:9000/v1", true, "http://127.0.0.1:9000/v1"],
  ["http://127.0.0.1:9000/v1", false, "must begin with https://"],
  ["http://10.0.0.1/v1", true, "must begin with https://"],
  ["https://key@api.example.com/v1", false, "must not hold a user"],
  ["https://api.example.com/v1?key=x", false, "must be without a query"],
  ["https://api.example.com/v1#x", false, "must be without a query"],
] as const;

test.for(BASES)("as a base %s (local run: %s) gives %s", ([text, dev, expected], { expect }) => {
  const checked = checkBaseUrl(text, dev);
  expect(checked.ok ? checked.url : checked.why).toContain(expected);
});
