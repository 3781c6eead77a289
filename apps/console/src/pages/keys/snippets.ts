/** The same request in three languages. */
export interface Snippet {
  readonly id: string
  readonly label: string
  readonly code: string
}

const placeholder = '$DEOS_API_KEY'

/**
 * @param baseUrl - of the gateway, ending in `/v1`
 * @param secret - null leaves the place where it is read from the environment
 */
export function snippetsOf(baseUrl: string, model: string, secret: string | null): readonly Snippet[] {
  return [
    {
      id: 'curl',
      label: 'curl',
      code: `curl ${baseUrl}/chat/completions \\
  -H "Authorization: Bearer ${secret ?? placeholder}" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "${model}",
    "messages": [{"role": "user", "content": "Hello!"}]
  }'`,
    },
    {
      id: 'python',
      label: 'Python',
      code: `# pip install openai
${secret === null ? 'import os\n' : ''}from openai import OpenAI

client = OpenAI(
    base_url="${baseUrl}",
    api_key=${secret === null ? 'os.environ["DEOS_API_KEY"]' : `"${secret}"`},
)
stream = client.chat.completions.create(
    model="${model}",
    messages=[{"role": "user", "content": "Hello!"}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)`,
    },
    {
      id: 'typescript',
      label: 'TypeScript',
      code: `// npm install openai
import OpenAI from 'openai'

const client = new OpenAI({
  baseURL: '${baseUrl}',
  apiKey: ${secret === null ? 'process.env.DEOS_API_KEY' : `'${secret}'`},
})
const stream = await client.chat.completions.create({
  model: '${model}',
  messages: [{ role: 'user', content: 'Hello!' }],
  stream: true,
})
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta.content ?? '')
}`,
    },
  ]
}
