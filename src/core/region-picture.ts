/**
 * The one question to a region's object that two builds answer differently: asked in the new way, and in the old way where the
 * object does not know that one yet.
 */
import { regionObject, type Env, type RegionPicture } from "./env.ts";

/** What a region's object knows; of one of an older build, what that can say. Rejects where it does not answer. */
export async function regionPicture(env: Pick<Env, "REGIONS">, region: string): Promise<RegionPicture> {
  const object = regionObject(env, region);
  try {
    return await object.picture();
  } catch (error) {
    if (!isUnknownMethod(error)) throw error;
    return { nodes: await object.snapshot(), awaited: [] };
  }
}

/** The object runs an older build: as workerd says it. */
function isUnknownMethod(error: unknown): boolean {
  return error instanceof TypeError && error.message.startsWith("The RPC receiver does not implement ");
}
