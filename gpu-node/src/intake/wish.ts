/** What a client asks for, whatever dialect it came in: the one shape behind every parser of this room. */
import type { ChatMessage, ChatPrompt, Sampling, Tool } from "../engines/engine.ts";
import type { Form } from "../grammar/form.ts";
import type { ThinkingWish } from "./thinking.ts";

export type Input =
  | {
      readonly kind: "chat";
      readonly messages: readonly ChatMessage[];
      readonly prefix: ChatPrompt["prefix"];
      readonly tools: readonly Tool[];
    }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "tokens"; readonly tokens: readonly number[] };

export type Wish = {
  readonly model: string;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly input: Input;
  /** The first field that speaks of tools, for a model that knows none; undefined where none does. */
  readonly toolsAt: string | undefined;
  readonly thinking: ThinkingWish;
  readonly form: Form;
  readonly outputAsked: number | undefined;
  readonly sampling: Sampling;
  readonly stops: readonly string[];
  /** Undefined: none; otherwise how many alternatives beside each token. */
  readonly logprobs: number | undefined;
  /** How many answers. */
  readonly choices: number;
};
