// NANOBANANA_API_KEY=nb_test_… node main.js "a banana astronaut"
import { createReadStream } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import OpenAI, { APIError } from 'openai'

const client = new OpenAI({
  baseURL: `${process.env.NANOBANANA_BASE_URL ?? 'http://127.0.0.1:3000'}/v1`,
  apiKey: process.env.NANOBANANA_API_KEY,
})

const save = async (file, { data }) => {
  await writeFile(file, Buffer.from(data[0].b64_json, 'base64'))
  console.log(file)
}

try {
  const prompt = process.argv[2] ?? 'a banana astronaut'
  await save('banana.png', await client.images.generate({ prompt, size: '1536x1024' }))
  const image = createReadStream('banana.png')
  await save('hat.png', await client.images.edit({ image, prompt: 'give it a hat' }))
} catch (error) {
  if (!(error instanceof APIError)) throw error
  console.error(`${error.code}: ${error.message} (${error.requestID})`)
  process.exitCode = 1
}
