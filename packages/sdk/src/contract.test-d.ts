import type * as contract from '@nanobanana/shared'
import type { inferRouterInputs, inferRouterOutputs } from '@trpc/server'
import { expectTypeOf, test } from 'vitest'
import type { AppRouter } from '../../server/src/router.ts'
import type { CallOptions } from './bounds.ts'
import type { Generate } from './generate.ts'
import type { Api } from './generated/api.ts'
import type {
  Generation,
  GenerationEvent,
  Image,
  Model,
  WebhookMessage,
} from './generated/types.ts'
import type { GenerateParams, ImageSource } from './image-source.ts'
import type { GenerationResult, ImageResult, StreamEvent } from './results.ts'

// The generated interface against the router itself, for every procedure there is: `generate --check`
// tells that a file is stale, these tests that the generator writes what is true.

type Method = (...args: never[]) => Promise<unknown>

/** `logout_all` → `logoutAll` */
type CamelCase<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Name

type NoInput = 'no input'

// What the SDK says.
type SdkInput<M extends Method> =
  Parameters<M> extends [options?: CallOptions] ? NoInput : Parameters<M>[0]
type SdkInputs = {
  [G in keyof Api]: Api[G] extends Method
    ? SdkInput<Api[G]>
    : { [N in keyof Api[G]]: Api[G][N] extends Method ? SdkInput<Api[G][N]> : never }
}
type SdkOutput<M extends Method> = OnTheWire<Awaited<ReturnType<M>>>
type SdkOutputs = {
  [G in keyof Api]: Api[G] extends Method
    ? SdkOutput<Api[G]>
    : { [N in keyof Api[G]]: Api[G][N] extends Method ? SdkOutput<Api[G][N]> : never }
}
/** The same without the methods that the SDK gives to images. */
type OnTheWire<T> = T extends GenerationResult
  ? Generation
  : T extends { data: GenerationResult[]; next_cursor: string | null }
    ? { data: Generation[]; next_cursor: string | null }
    : T

// What the router says, under the names of the SDK.
type RouterInput<I> = string extends keyof Exclude<I, undefined | void>
  ? NoInput
  : object extends I
    ? I | undefined
    : I
/** tRPC's name for no output is never. */
type RouterOutput<O> = [O] extends [never] ? void : O

type Inputs = inferRouterInputs<AppRouter>
type Outputs = inferRouterOutputs<AppRouter>
type Group<T> = Extract<keyof T, string>
type IsMethod<G> = G extends keyof Api ? (Api[G] extends Method ? true : false) : false

type RouterInputs = {
  readonly [G in keyof Inputs]: IsMethod<G> extends true
    ? RouterInput<Inputs[G]>
    : { [N in Group<Inputs[G]> as CamelCase<N>]: RouterInput<Inputs[G][N]> }
}
type RouterOutputs = {
  readonly [G in keyof Outputs]: IsMethod<G> extends true
    ? RouterOutput<Outputs[G]>
    : { [N in Group<Outputs[G]> as CamelCase<N>]: RouterOutput<Outputs[G][N]> }
}

test('every method takes what its procedure takes', () => {
  expectTypeOf<Readonly<SdkInputs>>().toEqualTypeOf<RouterInputs>()
})

test('every method answers what its procedure answers', () => {
  expectTypeOf<Readonly<SdkOutputs>>().toEqualTypeOf<RouterOutputs>()
})

test('images are uploads or references, and a model is suggested but may be any', () => {
  type Input = SdkInputs['generate']
  expectTypeOf<NonNullable<Input['images']>[number]>().toEqualTypeOf<
    { data: string; mime_type?: string } | { generation_id: string; image_id?: string }
  >()
  expectTypeOf<'a-model-of-yours'>().toExtend<Input['model']>()
  expectTypeOf<Input['model']>().not.toEqualTypeOf<string | undefined>()
  expectTypeOf<Model['aspect_ratios'][number]>().toExtend<Input['aspect_ratio']>()
})

test('what the client has by hand takes and answers what the procedure does', () => {
  type Params = Omit<GenerateParams, 'images'>
  expectTypeOf<Parameters<Generate>[0]>().toEqualTypeOf<GenerateParams>()
  expectTypeOf<Params>().toEqualTypeOf<Omit<RouterInputs['generate'], 'images'>>()
  expectTypeOf<NonNullable<RouterInputs['generate']['images']>[number]>().toExtend<ImageSource>()
  expectTypeOf<Omit<GenerationResult, 'images'>>().toEqualTypeOf<
    Omit<RouterOutputs['generate'], 'images'>
  >()
  type Plain = Omit<ImageResult, 'size' | 'bytes' | 'blob' | 'stream' | 'save'>
  expectTypeOf<Plain>().toEqualTypeOf<Omit<Image, 'bytes'>>()
})

test('events are those the service tells', () => {
  expectTypeOf<GenerationEvent>().toEqualTypeOf<contract.GenerationEvent>()
  type PlainEvent<E> = E extends { type: infer T; data: GenerationResult }
    ? { type: T; timestamp: string; data: Generation }
    : E extends { type: infer T; data: { image: ImageResult | null } }
      ? { type: T; timestamp: string; data: { id: string; index: number; image: Image | null } }
      : E
  expectTypeOf<GenerationEvent>().toExtend<PlainEvent<StreamEvent>>()
  expectTypeOf<StreamEvent['type']>().toEqualTypeOf<GenerationEvent['type']>()
  type Told = Extract<GenerationEvent, { type: 'generation.image' }>['data']
  type Yielded = Extract<StreamEvent, { type: 'generation.image' }>['data']
  expectTypeOf<Omit<Yielded, 'image'>>().toEqualTypeOf<Omit<Told, 'image'>>()
})

test('messages to endpoints are those the service sends', () => {
  expectTypeOf<WebhookMessage>().toEqualTypeOf<contract.WebhookMessage>()
})

test('the comparison compares', () => {
  expectTypeOf<SdkInputs['auth']['me']>().toEqualTypeOf<NoInput>()
  expectTypeOf<RouterOutputs['keys']['revoke']>().toEqualTypeOf<void>()
  expectTypeOf<RouterOutputs['generate']['status']>().toEqualTypeOf<
    'queued' | 'running' | 'succeeded' | 'failed' | 'canceled'
  >()
  expectTypeOf<RouterInputs['keys']['create']['name']>().toEqualTypeOf<string>()
  expectTypeOf<undefined>().toExtend<RouterInputs['generations']['list']>()
})
