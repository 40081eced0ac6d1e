/** `GET /v1/generation?id=`: which request is meant, by the answer's id or the request's. Pure. */
import { RequestId } from "@sluice/protocol/ids";
import { z } from "zod";
import { readQuery } from "./query.ts";

const COMPLETION = "chatcmpl-";

const GenerationQuery = z.strictObject({
  id: z
    .string("names a request: the answer's id, or its x-request-id header")
    .transform((id) => (id.startsWith(COMPLETION) ? `req_${id.slice(COMPLETION.length)}` : id))
    .pipe(RequestId.or(z.never("is neither an answer's id (chatcmpl-...) nor a request's (req_...)"))),
});

/** Throws a FaultError. */
export function readGenerationAsk(url: string): string {
  return readQuery(url, GenerationQuery).id;
}
