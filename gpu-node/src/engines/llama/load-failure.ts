/** What an operator is told of weights that could not be loaded, and what to do next. Pure. */

/** llama.cpp's words where the card or its driver is at fault, and not the file. */
const GPU_AT_FAULT = /\b(?:CUDA|Vulkan|Metal)\b|ggml_(?:cuda|vulkan|metal)/;

export function loadFailure(weightsPath: string, why: string): string {
  const advice = GPU_AT_FAULT.test(why)
    ? "The GPU or its driver cannot run the installed kernels: 'GPU backends' in docs/OPERATIONS.md says which cards and drivers they are for; --gpu cpu computes without it."
    : "Fetch the file again, or name another with --model.";
  return `${weightsPath} cannot be loaded: ${why}. ${advice}`;
}

/**
 * Why a process ended: llama.cpp's first complaint, which is the cause, or else its last words. Where it aborts those are a list of
 * addresses.
 */
export function whyEnded(how: string, complaint: string | undefined, lastWords: string): string {
  const words = complaint ?? lastWords;
  return `its process ended with ${how}${words === "" ? "" : ` (${words})`}`;
}
