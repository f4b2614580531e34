{#- A foreign key of several columns. As in SQL, one with a NULL in it refers to nothing. -#}
{% test keys_exist(model, columns, to, to_columns) %}
select *
  from (
      select distinct {{ columns | join(', ') }}
        from {{ model }}
       where {{ columns | join(' is not null and ') }} is not null
  ) as referring
 where not exists (
      select 1
        from {{ to }} as referred
       where {% for column in columns -%}
             {%- if not loop.first %} and {% endif -%}
             referred.{{ to_columns[loop.index0] }} = referring.{{ column }}
             {%- endfor %}
 )
{% endtest %}
