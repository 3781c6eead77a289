export { RankFollower } from './rank-follower.ts'
export { RankLeader } from './rank-leader.ts'
