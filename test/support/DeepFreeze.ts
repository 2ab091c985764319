/**
 * Freezes plain objects and arrays all the way down, so that a test notices what changes them. Instances of classes are
 * left alone, and what is frozen already is taken for frozen all the way.
 */
export const deepFreeze = <A>(value: A): A => {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value
  if (!Array.isArray(value) && Object.getPrototypeOf(value) !== Object.prototype) return value
  Object.freeze(value)
  for (const part of Object.values(value)) deepFreeze(part)
  return value
}
