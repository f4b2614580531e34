-- Sums can be added up over any grouping; shares are taken last, and so are their intervals.
with weeks as (
    select store,
           date_trunc('week', reporting_date::timestamp)::date as week_start,
           sum(csat_answered)::bigint as csat_answered,
           sum(csat_sum) as csat_sum,
           sum(csat_top2)::bigint as csat_top2
      from {{ source('touchledger', 'rollup_day') }}
     group by 1, 2
)
select store,
       week_start,
       csat_answered,
       csat_sum / nullif(csat_answered, 0) as csat_mean,
       csat_top2::double precision / nullif(csat_answered, 0) as top2,
       bi.wilson_lower(csat_top2, csat_answered) as top2_lo,
       bi.wilson_upper(csat_top2, csat_answered) as top2_hi
  from weeks
 where csat_answered > 0
