-- Which videos hold the sound of a query, and where in them the query begins.
--
--   SELECT v.video_id, c.delta * 0.02 AS offset_s, c.hits
--   FROM find_fingerprint_candidates(ARRAY[1, 2, 3], ARRAY[0, 4, 9]) AS c
--   JOIN videos v ON v.id = c.video;
--
-- query_hashes, query_frames  of the query, side by side: pairs of spectral peaks, and the frame
--                             (20 ms) in which each begins
-- fewest                      hashes that agree at one distance, at least
-- stop_rows                   stop-words: a hash that stands in more rows of the role than this
--                             tells nothing, and its rows are not read
-- among_originals             true: look among originals; false: among their copies
-- most                        videos in the answer
--
-- delta  frames from the start of the video to the start of the query (may be negative)
-- hits   hashes that agree there, counted over delta - 1, delta and delta + 1: what lies
--        between two frames is rounded to either
--
-- One row a video, its best distance, most hits first.
CREATE OR REPLACE FUNCTION find_fingerprint_candidates(
    query_hashes integer[],
    query_frames integer[],
    fewest integer DEFAULT 5,
    stop_rows integer DEFAULT 1000,
    among_originals boolean DEFAULT true,
    most integer DEFAULT 100
)
RETURNS TABLE (video bigint, delta integer, hits bigint)
LANGUAGE sql STABLE
ROWS 100
-- The planner does not know how rare a hash is; it is to ask the key once for each.
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
WITH query AS MATERIALIZED (
    SELECT q.hash, array_agg(DISTINCT q.frame) AS frames
    FROM unnest(query_hashes, query_frames) AS q (hash, frame)
    WHERE q.hash IS NOT NULL AND q.frame IS NOT NULL
    GROUP BY q.hash
),
words AS MATERIALIZED (
    SELECT query.frames, f.videos, f.places
    FROM query
    CROSS JOIN LATERAL (
        SELECT array_agg(r.video) AS videos, array_agg(r.frame) AS places, count(*) AS read
        FROM (
            SELECT h.video, h.frame
            FROM fingerprint_hashes AS h
            WHERE h.hash = query.hash AND h.original = among_originals
            LIMIT stop_rows + 1
        ) AS r
    ) AS f
    WHERE f.read BETWEEN 1 AND stop_rows
),
buckets AS (
    SELECT f.video, f.frame - q.frame AS delta, count(*) AS hits
    FROM words
    CROSS JOIN LATERAL unnest(words.videos, words.places) AS f (video, frame)
    CROSS JOIN LATERAL unnest(words.frames) AS q (frame)
    GROUP BY f.video, f.frame - q.frame
),
merged AS (
    SELECT
        b.video,
        b.delta,
        sum(b.hits) OVER (
            PARTITION BY b.video ORDER BY b.delta RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING
        )::bigint AS hits,
        b.hits AS here
    FROM buckets AS b
),
best AS (
    SELECT DISTINCT ON (m.video) m.video, m.delta, m.hits
    FROM merged AS m
    WHERE m.hits >= fewest
    ORDER BY m.video, m.hits DESC, m.here DESC, m.delta
)
SELECT best.video, best.delta, best.hits
FROM best
ORDER BY best.hits DESC, best.video
LIMIT most
$$;
