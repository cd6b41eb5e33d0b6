import type { Answer } from './exchange.ts'

/** A result with what its answer said beside it. */
export interface WithResponse<T> {
  data: T
  /** HTTP status of the last answer. */
  status: number
  /** Headers of the last answer, such as `RateLimit`. */
  headers: Headers
  /** Id of the request; name it when you ask the operator for help. */
  requestId: string | undefined
}

/** What every method returns: a promise of the result. */
export interface Call<T> extends Promise<T> {
  /** Resolves with the result and its answer's headers. */
  withResponse(): Promise<WithResponse<T>>
}

export const toCall = <T>(answered: Promise<WithResponse<T>>): Call<T> => {
  const data = answered.then((one) => one.data)
  return Object.assign(data, {
    withResponse: () => {
      // Whoever takes this promise hears of a failure from it.
      data.catch(() => {})
      return answered
    },
  })
}

export function withAnswer<T>(data: T, answer: Answer | undefined): WithResponse<T> {
  const { status = 0, headers = new Headers(), requestId } = answer ?? {}
  return { data, status, headers, requestId }
}
