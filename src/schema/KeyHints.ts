/**
 * What a process remembers with a key so that reading it needs no look-up. Not part of the public `ConfigKey`.
 *
 * A hint may be wrong: a key may be declared in several planes, and a copy of a key carries the hints of the original.
 * The code that follows a hint checks that it leads to this very key, and looks the key up otherwise.
 *
 * @internal
 */
/** The hints of one key. */
export interface KeyHints {
  /** The slot of the key in the registry that was made last; -1 before the first one. */
  slot: number
  /** The effect that reads the key from the `Config` in its context; `undefined` before the first read. */
  read: unknown
}

const hints = Symbol("effect-systemplane/schema/KeyHints")

/** The property that holds the hints of a new key. */
export const initial = (): object => ({ [hints]: { slot: -1, read: undefined } satisfies KeyHints })

/**
 * The hints of a key; `undefined` if the key was not made by `ConfigKey.make`. A key may be `undefined` in a module
 * that imports itself in a circle, and a proxy may throw: neither is a declared key.
 */
export const of = (key: object): KeyHints | undefined => {
  try {
    return (key as { readonly [hints]?: KeyHints } | undefined)?.[hints]
  } catch {
    return undefined
  }
}

/** The slot of this very key if its hint leads to it, else `undefined`. */
export const slotIn = (keys: ReadonlyArray<object>, key: object): number | undefined => {
  const slot = of(key)?.slot
  return slot !== undefined && keys[slot] === key ? slot : undefined
}
