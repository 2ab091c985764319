import { changeHistoryContract } from "./changeHistoryContract.ts"
import { inMemory } from "./inMemory.ts"

changeHistoryContract(inMemory)
