/** `GET /v1/generation?id=`: which request is meant, by the answer's id or the request's. Pure. */
import { RequestId } from "@sluice/protocol/ids";
import { z } from "zod";
import { ANSWER_PREFIX } from "../wire/call.ts";
import { readQuery } from "./query.ts";

const PREFIXES = Object.values(ANSWER_PREFIX);

const GenerationQuery = z.strictObject({
  id: z
    .string("names a request: the answer's id, or its x-request-id header")
    .transform((id) => {
      const prefix = PREFIXES.find((one) => id.startsWith(one));
      return prefix === undefined ? id : `req_${id.slice(prefix.length)}`;
    })
    .refine(
      (id) => RequestId.safeParse(id).success,
      "is neither an answer's id (chatcmpl-...) nor a request's (req_...)",
    ),
});

/** Throws a FaultError. */
export function readGenerationAsk(url: string): string {
  return readQuery(url, GenerationQuery).id;
}
