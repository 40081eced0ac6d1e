/**
 * Checked indexing for arrays and typed arrays.
 *
 * The compiler rightly calls every index possibly undefined; here an index outside is always a bug, so it throws
 * and names the index instead of letting an undefined travel into weights or training data.
 */
export function at<T>(list: ArrayLike<T>, index: number): T {
  const value = list[index];
  if (value === undefined) throw new RangeError(`index ${index} of ${list.length}`);
  return value;
}
