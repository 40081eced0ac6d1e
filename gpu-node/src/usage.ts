/**
 * What `gpu-node --help` says. Kept beside config.ts by a test: every flag is named here, and nothing else is.
 */

export const USAGE = `gpu-node --edge URL [options]          a node of an edge: enrols with a join token, then serves signed calls
gpu-node --insecure-standalone [...]   a plain OpenAI server for this machine alone (loopback only, no keys, no bill)
gpu-node reload [--data DIR] [--json]  tells a running node to read files and settings of its models anew, and says what comes of it

  --edge URL             where the edge is; https unless on loopback
  --join TOKEN           the one-time token of \`sluice nodes invite\`; better as SLUICE_JOIN, argv is public
  --data DIR             identity and journal; keep it on a disk that survives (.sluice/node)
  --journal-mib N        how large the journal may become (4096)
  --host, --port         where to listen (127.0.0.1, 8080)

  --model REF            a GGUF file, hf:owner/repo:Q4_K_M or hf:owner/repo/file.gguf (the bundled sluice-tiny); several
                         times for several models, each perhaps as ID=REF
  --models FILE          a list of models instead, each with options of its own:
                         [{"id":"small","model":"a.gguf","slots":8},{"id":"big","model":"b.gguf","context":32768}]
  --as ID                the model's id, as calls name it (made from the file's name)
  --engine NAME          llama; http: another server computes; script: answers that tests dictate (llama)
  --server NAME          of --engine http: vllm, sglang, llama-server; openai: any other, billed as it reports
  --upstream URL         where that server is; --model is then the folder or GGUF file it loads (openai: its name there)
  --upstream-key KEY     what it wants as a bearer token; better as SLUICE_UPSTREAM_KEY, argv is public
  --reuse-in-slots       of llama-server without a prompt cache in RAM: reuse prefixes, each tag in slots of its own
  --tag-field NAME       of openai: the field by which that server keeps prefixes apart (vLLM's is cache_salt)
  --prefixes-apart       or, the operator's word: that server reuses no prompt of one user for another
  --offers LIST          of openai, the operator's word: that server honours tools, json (\`--offers tools,json\`)
  --extra JSON           of openai: fields that calls which do not think get there (\`{"reasoning_effort":"none"}\`)
  --thinking-extra JSON  the same of calls which think; without them clients cannot choose whether to think
  --script-options JSON  what the scripted engine is told
  --slots N              requests at once
  --context N            tokens of context per request
  --threads N            of the CPU (as many as prove fastest)
  --gpu NAME             auto, cuda, vulkan, metal or cpu (auto)
  --embeddings           serve /v1/embeddings with this model, too (a context more); of --engine http: the server behind it
                         was started for embeddings and answers nothing else
  --memory-unchecked     load what does not seem to fit into memory

  --queue-max N          requests that may wait for a slot (32)
  --queue-wait-ms N      how long (30000)
  --attempt-ms N         the longest a request may run (1800000)
  --drain-ms N           after SIGTERM, how long what runs may go on (30000)

SIGHUP does what \`gpu-node reload\` does; what runs ends on what it began on. SIGTERM drains and stops.
Every option has a variable: --queue-max is SLUICE_QUEUE_MAX (several models in SLUICE_MODEL: commas between). GET /health, /metrics (Prometheus) and /v1/models need no key.
`;
