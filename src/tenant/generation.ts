/** `GET /v1/generation?id=`: which request is meant, by the answer's id or the request's. Pure. */
import { RequestId } from "@sluice/protocol/ids";
import { z } from "zod";
import { requestIdOf } from "../wire/call.ts";
import { readQuery } from "./query.ts";

const GenerationQuery = z.strictObject({
  id: z
    .string("names a request: the answer's id, or its x-request-id header")
    .transform(requestIdOf)
    .refine(
      (id) => RequestId.safeParse(id).success,
      "is neither an answer's id (chatcmpl-...) nor a request's (req_...)",
    ),
});

/** Throws a FaultError. */
export function readGenerationAsk(url: string): string {
  return readQuery(url, GenerationQuery).id;
}
