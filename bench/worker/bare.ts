/**
 * The limit of the platform: a Worker that passes every call on and every answer back and does nothing else at all. What
 * Sluice costs is measured against this, not against nothing.
 */
import { Hono } from "hono";

const app = new Hono<{ Bindings: { readonly UPSTREAM: string } }>();

app.post("/v1/chat/completions", (c) =>
  fetch(`${c.env.UPSTREAM}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: c.req.raw.body,
  }),
);

export default app;
