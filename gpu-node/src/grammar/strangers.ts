/** Special tokens a grammar does not name: it would take them for their spelling, so they are kept out beside it. Pure. */
export function strangersTo(
  gbnf: string,
  { special, endTokens }: { readonly special: ReadonlySet<number>; readonly endTokens: ReadonlySet<number> },
): ReadonlySet<number> {
  const named = new Set([...gbnf.matchAll(/<\[(\d+)\]>/g)].map(([, id]) => Number(id)));
  return new Set([...special].filter((id) => !endTokens.has(id) && !named.has(id)));
}
