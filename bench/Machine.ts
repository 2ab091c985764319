/** What the figures were measured on. */
import * as Os from "node:os"

export interface Machine {
  readonly summary: string
  readonly processor: string
  readonly cores: number
  readonly memory: string
  readonly node: string
  readonly platform: string
  /** How many processes wanted to run, on average over the last minute: above the number of cores, expect noise. */
  readonly load: number
}

export const describe = (): Machine => {
  const cores = Os.availableParallelism()
  const processor = Os.cpus()[0]?.model.trim() ?? "unknown processor"
  const memory = `${Math.round(Os.totalmem() / 2 ** 30)} GiB`
  const platform = `${Os.type()} ${Os.arch()}`
  const load = Os.loadavg()[0] ?? 0
  return {
    summary: `${processor}, ${cores} cores, ${memory}, ${platform}, Node ${process.version}, load ${load.toFixed(1)}`,
    processor,
    cores,
    memory,
    node: process.version,
    platform,
    load
  }
}
