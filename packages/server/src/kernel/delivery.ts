/** How a caller wants to hear of a generation. */
export type Delivery =
  /** Its answer is the result, or 202 once the time is over; `ms` undefined: the service's own. */
  | { readonly kind: 'wait'; readonly ms: number | undefined }
  /** 202 at once. */
  | { readonly kind: 'async' }
  /** As a stream of events. */
  | { readonly kind: 'stream' }
