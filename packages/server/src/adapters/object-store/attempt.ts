import { ObjectStoreError } from '../../ports/object-store.ts'

/** Runs `work` and says of a failure, in the port's error, what could not be done and why. */
export async function attempt<T>(
  what: string,
  work: () => Promise<T>,
  reason: (error: unknown) => string = codeOf,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw new ObjectStoreError(`could not ${what}: ${reason(error)}`, { cause: error })
  }
}

/** The same for what `work` yields; errors of whoever takes it are not its own. */
export async function* attemptEach<T>(
  what: string,
  work: () => AsyncIterable<T>,
  reason: (error: unknown) => string = codeOf,
): AsyncGenerator<T> {
  try {
    yield* work()
  } catch (error) {
    throw new ObjectStoreError(`could not ${what}: ${reason(error)}`, { cause: error })
  }
}

/** The code or class of an error; its message where it has neither. */
export function codeOf(error: unknown): string {
  const { code, name, message } = error as Partial<NodeJS.ErrnoException>
  return code ?? (name === 'Error' ? message : name) ?? 'unknown error'
}
