/**
 * Contenders timed against each other in shuffled rounds, so that whatever slows the machine down for a while slows all
 * of them down.
 *
 * Each contender is a function of its own that reads in a loop and returns the sum of what it read. The sum is compared
 * with the expected one after every batch: nothing can be left out as dead code, and a contender that answers wrongly
 * has no time.
 *
 * Batches are shorter than the slice of time that a busy machine gives a process, so that most of them run undisturbed,
 * and the median is one of those.
 */
import { setTimeout } from "node:timers/promises"
import { median, shuffled } from "./Statistics.ts"

export interface Contender {
  readonly name: string
  /** How many operations one run makes. */
  readonly operations: number
  /** What one run returns. */
  readonly expected: number
  readonly run: () => number | Promise<number>
}

export interface RoundsOptions {
  readonly rounds: number
  /** How long one batch of a contender takes, about, in milliseconds. */
  readonly batch: number
  /** How long each contender warms up, in milliseconds. */
  readonly warmUp: number
}

/** The median of a contender's rounds, in nanoseconds per operation. */
export type Medians = Readonly<Record<string, number>>

const passes = 5
const compileTime = 20

/** Measures the contenders against each other. */
export const measure = async (contenders: ReadonlyArray<Contender>, options: RoundsOptions): Promise<Medians> => {
  const runs = new Map<Contender, number>()
  // Several times: at first, shared code has not yet seen the other contenders, and is compiled for the first one
  // alone. And code is compiled in the background, which on a busy machine needs its time.
  for (let pass = 0; pass < passes; pass++) {
    for (const contender of contenders) {
      runs.set(contender, await warmUp(contender, options))
      await setTimeout(compileTime)
    }
  }
  const samples = new Map(contenders.map((contender) => [contender, [] as Array<number>]))
  for (let round = 0; round < options.rounds; round++) {
    for (const contender of shuffled(contenders)) {
      collectYoungGarbage()
      const times = runs.get(contender)!
      const elapsed = await time(contender, times)
      samples.get(contender)!.push((elapsed * 1e6) / (times * contender.operations))
    }
  }
  return Object.fromEntries(contenders.map((contender) => [contender.name, median(samples.get(contender)!)]))
}

/** Returns how many runs fill a batch. */
const warmUp = async (contender: Contender, { batch, warmUp }: RoundsOptions): Promise<number> => {
  let elapsed = 0
  let fastest = Number.POSITIVE_INFINITY
  while (elapsed < warmUp / passes) {
    const once = await time(contender, 1)
    elapsed += once
    fastest = Math.min(fastest, once)
  }
  return Math.max(1, Math.round(batch / fastest))
}

/** In milliseconds. */
const time = async ({ expected, name, run }: Contender, times: number): Promise<number> => {
  let wrong = 0
  const started = performance.now()
  for (let i = 0; i < times; i++) {
    const answer = run()
    // Awaiting what is no promise would cost the synchronous ones a turn.
    const sum = typeof answer === "number" ? answer : await answer
    if (sum !== expected) wrong++
  }
  const elapsed = performance.now() - started
  if (wrong > 0) throw new Error(`${name} answers wrongly: measuring it would say nothing`)
  return elapsed
}

// So that no contender pays for the garbage of the one before. Needs --expose-gc.
const collectYoungGarbage = () => globalThis.gc?.({ type: "minor" })
