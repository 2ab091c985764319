/**
 * Floors: how far a process has seen each key's history. What it shows later may not be older.
 *
 * Two reads that overlap may be answered in either order. So a floor counts only for reads that began after it was
 * raised; a process numbers the beginnings and ends of all that it does.
 */

export interface Floor {
  /** A position in the key's history. */
  readonly position: number
  /** Whether a write of the process raised it, or a value that was shown. */
  readonly cause: "shown" | "written"
  /** When that was, in the order of the process. */
  readonly ended: number
  /** The same in milliseconds. */
  readonly at: number
}

const bottom: Floor = { position: 0, cause: "shown", ended: 0, at: 0 }

export interface Floors {
  /** The floor that counts for a read that began at this number. */
  readonly at: (key: string, began: number) => Floor
  /** To be called in the order of `ended`. */
  readonly raise: (key: string, floor: Floor) => void
}

/** How many floors of a key are remembered. A read that began before the oldest of them is not checked. */
const remembered = 256

export const make = (): Floors => {
  const floors = new Map<string, Array<Floor>>()
  return {
    at: (key, began) => floors.get(key)?.findLast((floor) => floor.ended < began) ?? bottom,
    raise: (key, floor) => {
      const known = floors.get(key) ?? []
      floors.set(key, known)
      if (floor.position <= (known.at(-1)?.position ?? 0)) return
      known.push(floor)
      if (known.length > remembered) known.splice(0, remembered / 2)
    }
  }
}
