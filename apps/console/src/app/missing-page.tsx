import { Link } from '@tanstack/react-router'
import { Compass } from 'lucide-react'
import { Button } from '../components/button.tsx'
import { Empty } from '../components/empty.tsx'

export const MissingPage = () => (
  <Empty
    icon={Compass}
    title="There is no such page"
    action={
      <Button asChild>
        <Link to="/">To the overview</Link>
      </Button>
    }
  >
    The address may be mistyped, or what it named is gone.
  </Empty>
)
